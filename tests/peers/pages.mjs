// Our pages in Debian's Chromium: a person signs in, unticks a scope and allows by keyboard alone, looks at her account,
// connects one elsewhere and disconnects it, and leaves when the name on the page is not hers; on a phone and on a
// desktop, light and dark.
//
// $PAGES:
//   issuer, authorize   our issuer and a whole authorization URL, whose redirect_uri is a loopback one of any port
//   login               at the provider's form
//   provider            the one to choose where there is a choice
//   untick              the value of the scope to give up
//   connection          the account to connect, at the same provider
//   output              a folder for the screenshots
//   chromium            its path
//
// On every page of ours: no axe violation that is serious or worse, no console error, no broken policy (CSP), nothing
// wider than the window. Prints one JSON line a page and exits with 1 at the first deviation.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

const options = JSON.parse(process.env.PAGES);
const { issuer, untick } = options;
const LOOKS = [360, 1280].flatMap((width) => ['light', 'dark'].map((colorScheme) => ({ width, colorScheme })));
const MOST_TABS = 40;
const PATIENCE_MS = 10_000;

// The flags after the first keep Chromium from reaching for the network by itself.
// The client's end, on a port of its own (RFC 8252 §7.3). A browser follows a redirect there only if our policy allows
// a form to end there (`form-action`), which no imitation of a browser notices.
let back;
const client = createServer((request, response) => {
  back = new URL(request.url, callback);
  response.setHeader('content-type', 'text/html').end('<!doctype html><title>client</title>back');
});
await once(client.listen(0, '127.0.0.1'), 'listening');
const authorize = new URL(options.authorize);
const callback = new URL(authorize.searchParams.get('redirect_uri'));
callback.port = client.address().port;
authorize.searchParams.set('redirect_uri', callback.href);

let lately; // what the last visit's console said, for the report
const browser = await chromium.launch({
  executablePath: options.chromium ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

async function inspect(page, name, { look, complaints }) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run());
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const report = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(', ')}`);
  assert.deepEqual(report, [], `axe on ${name}`);
  assert.deepEqual(complaints, [], `console on ${name}`);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `${name} is ${overflow} px wider than the window`);
  assert.ok(await page.title(), `${name} has a title`);
  await page.screenshot({ path: `${options.output}/${name}-${look.width}-${look.colorScheme}.png`, fullPage: true });
  console.log(JSON.stringify({ page: name, ...look, minor: violations.map(({ id }) => id) }));
}

// Moves the focus as a keyboard does, and insists that it can be seen where it arrives.
async function tabTo(page, selector) {
  for (let tab = 0; tab < MOST_TABS; tab++) {
    await page.keyboard.press('Tab');
    const arrived = await page.evaluate((wanted) => {
      const { activeElement } = document;
      if (!activeElement.matches(wanted)) return undefined;
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(activeElement);
      return { visible: (outlineStyle !== 'none' && outlineWidth !== '0px') || boxShadow !== 'none' };
    }, selector);
    if (arrived) return assert.ok(arrived.visible, `the focus on ${selector} cannot be seen`);
  }
  assert.fail(`${selector} cannot be reached by keyboard`);
}

// A person in a browser of her own, who has signed in and sees the consent page.
async function signIn(look, { first = () => {} } = {}) {
  const context = await browser.newContext({ viewport: { width: look.width, height: 800 }, colorScheme: look.colorScheme });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const complaints = (lately = []);
  const ours = () => page.url().startsWith(issuer);
  const complain = (text) => ours() && complaints.push(text);
  page.on('console', (message) => message.type() === 'error' && complain(message.text()));
  page.on('pageerror', (error) => complain(error.message));
  await context.route(({ hostname }) => hostname !== '127.0.0.1' && hostname !== 'localhost', (route) => route.abort());
  const seen = { look, complaints };

  await page.goto(authorize.href);
  if (options.provider) {
    await first(page, seen);
    await tabTo(page, `a[href*="/login/${options.provider}"], button[value="${options.provider}"]`);
    await page.keyboard.press('Enter');
  }
  await page.locator('input[name=login]').fill(options.login);
  await page.locator('input[name=password]').fill('any');
  await page.keyboard.press('Enter');
  await page.locator('button[value=allow]').waitFor();
  return { context, page, seen };
}

// Somebody else's name is on the consent page: she leaves.
async function leave(look) {
  const { context, page, seen } = await signIn(look);
  await tabTo(page, 'form[action$="/logout"] button');
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname.endsWith('/logout'));
  await inspect(page, 'done', seen);
  await page.goto(`${issuer}/account`);
  assert.ok(!page.url().startsWith(`${issuer}/account`), 'signed out');
  await context.close();
}

// From her account page to the vendor, where she is signed in, and back.
async function connect(page, seen) {
  await tabTo(page, `a[href$="/connect/${options.connection}"]`);
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname.endsWith(`/connect/${options.connection}`));
  await inspect(page, 'connect', seen);
  await tabTo(page, 'main button.main');
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname.endsWith(`/connect/${options.connection}/callback`));
  await inspect(page, 'connected', seen);
  await page.goto(`${issuer}/account`);
  await inspect(page, 'accounts', seen);
  await tabTo(page, 'form[action$="/account/connections/end"] button');
  await page.keyboard.press('Enter');
  await page.locator('[role=status]').waitFor();
  assert.equal(await page.locator('form[action$="/account/connections/end"]').count(), 0, 'disconnected');
}

async function visit(look) {
  const { context, page, seen } = await signIn(look, { first: (page, seen) => inspect(page, 'chooser', seen) });
  const scope = `input[type=checkbox][value="${untick}"]`;
  await inspect(page, 'consent', seen);
  await tabTo(page, scope);
  await page.keyboard.press('Space');
  assert.equal(await page.locator(scope).isChecked(), false, 'Space unticks');
  await tabTo(page, 'button[value=allow]');
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.href.startsWith(callback.href));
  const code = back.searchParams.get('code');
  assert.ok(code, `no code in ${back.search}`);
  console.log(JSON.stringify({ page: 'client', ...look, code, redirect_uri: callback.href }));

  await page.goto(`${issuer}/account`);
  await inspect(page, 'account', seen);
  await connect(page, seen);

  const wrong = new URL(authorize);
  wrong.searchParams.set('redirect_uri', 'https://elsewhere.example/callback');
  await page.goto(wrong.href);
  assert.ok(page.url().startsWith(issuer), 'a wrong redirect_uri is not followed');
  seen.complaints.length = 0; // Chromium reports the page's own 400 as an error
  await inspect(page, 'error', seen);
  await context.close();
}

try {
  for (const look of LOOKS) {
    await leave(look);
    await visit(look);
  }
} catch (error) {
  console.log(JSON.stringify({ page: 'failed', error: error.message, console: lately }));
  process.exitCode = 1;
} finally {
  await browser.close();
  client.close();
}
