// A stand-in: see README.md.
export const connectStateful = undefined;
