// A Keycloak server, in development mode and in memory, for as long as standard input stays open.
//
// Prints {"url","admin","password"} in one line when it listens: its address, and who may administer it through the
// Admin REST API. Realms are the tests' affair (keycloak/realm.json).
//
// The first start after the installation takes half a minute longer: Keycloak then builds itself for these options.

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';

const START_WITHIN_MS = 300_000;
const HEAP = '-Xms64m -Xmx512m';
// Much of a short life is compiling; the simpler compiler and collector halve both its time and its memory.
const SHORT_LIFE = '-XX:TieredStopAtLevel=1 -XX:-UseG1GC -XX:+UseSerialGC';
const OPTIONS = ['--db=dev-mem', '--features=identity-assertion-jwt', '--http-host=127.0.0.1', '--http-port=0'];

const admin = 'admin';
const password = randomUUID();
const server = spawn(new URL('keycloak/bin/kc.sh', import.meta.url).pathname, ['start-dev', ...OPTIONS], {
  detached: true, // kc.sh starts Java, and both end together, as a process group
  stdio: ['ignore', 'pipe', 'inherit'],
  env: {
    ...process.env,
    JAVA_OPTS_KC_HEAP: HEAP,
    JAVA_OPTS_APPEND: SHORT_LIFE,
    KC_BOOTSTRAP_ADMIN_USERNAME: admin,
    KC_BOOTSTRAP_ADMIN_PASSWORD: password,
  },
});

function stop() {
  try {
    process.kill(-server.pid, 'SIGKILL'); // nothing in memory is worth an orderly end
  } catch {} // it has ended
  process.exit();
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
process.stdin.resume().on('end', stop);

// What is no JSON is what the tests show when it does not start.
const said = [];
const giveUp = () => {
  console.log(`no Keycloak: ${said.slice(-20).join(' | ')}`);
  stop();
};
const patience = setTimeout(giveUp, START_WITHIN_MS);
createInterface({ input: server.stdout })
  .on('line', (line) => {
    said.push(line);
    const url = /Listening on: (http:\S+)/.exec(line)?.[1];
    if (!url) return;
    clearTimeout(patience);
    console.log(JSON.stringify({ url, admin, password }));
  })
  .on('close', giveUp);
