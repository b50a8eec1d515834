// An authorization endpoint for clients that have no browser and read the code from the first answer: behind it somebody
// signs in and consents at the real one. Everything else is where the authorization server says it is.
//
// $FRONT: issuer (the authorization server's), person (options of browser.mjs). Prints {"url"}, under which there are the
// server's metadata with this endpoint in them; ends when its standard input closes.

import { createServer } from 'node:http';
import { Person } from './browser.mjs';

const { issuer, person } = JSON.parse(process.env.FRONT);
const WELL_KNOWN = '/.well-known/oauth-authorization-server';
const metadata = await (await fetch(issuer + WELL_KNOWN)).json();

const server = createServer(async (request, response) => {
  const { pathname, search, searchParams } = new URL(request.url, url);
  if (pathname === WELL_KNOWN) {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ...metadata, authorization_endpoint: `${url}/authorize` }));
  } else {
    const asked = metadata.authorization_endpoint + search;
    const back = await new Person(person).walk(asked, searchParams.get('redirect_uri'));
    response.writeHead(302, { location: back }).end();
  }
});
const url = await new Promise((ready) => server.listen(0, '127.0.0.1', () => ready(`http://127.0.0.1:${server.address().port}`)));
console.log(JSON.stringify({ url }));
process.stdin.resume().on('end', () => process.exit());
