// A stand-in: see README.md.
export const connectStateless = undefined;
