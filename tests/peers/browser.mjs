// A person with a browser, without the browser: keeps cookies, follows redirects, fills in forms.
//
//   const person = new Person({ login: 'alice', untick: ['tickets:write'] });
//   const back = await person.walk(authorizationUrl, 'http://127.0.0.1:3000/callback');
//
// `walk` answers every page on the way: text fields by name from `fields` (any password does), checkboxes as the page
// has them save those in `untick`, a list of providers by the link that `provider` names, and the form that has a
// button of the value `press` or of the user's name, or else the first form and its first button. It ends at the URL that
// begins with `stop`, which it does not open.

import { createInterface } from 'node:readline';
import { parse } from 'node-html-parser';

const MOST_STEPS = 30;

export class Person {
  constructor({ login = 'alice', fields = {}, untick = [], press = 'allow', provider } = {}) {
    Object.assign(this, { fields: { login, password: 'any', ...fields }, untick, press, provider });
    this.cookies = new Map();
    this.pages = []; // the texts of the pages that were answered, for assertions
  }

  // `site` is how the address relates to the page that leads there (Fetch Metadata).
  async open(url, form, site) {
    const headers = { accept: 'text/html', cookie: this.#cookiesFor(new URL(url)), 'sec-fetch-site': site };
    if (form) headers.origin = new URL(url).origin;
    const answer = await fetch(url, { method: form ? 'POST' : 'GET', body: form, redirect: 'manual', headers });
    for (const header of answer.headers.getSetCookie()) this.#keep(header, new URL(url));
    return { status: answer.status, location: answer.headers.get('location'), text: await answer.text() };
  }

  async walk(url, stop) {
    let form;
    let site = 'none';
    for (let step = 0; step < MOST_STEPS; step++) {
      if (!form && url.startsWith(stop)) return url;
      const { status, location, text } = await this.open(url, form, site);
      if (location) {
        const next = new URL(location, url);
        if (next.origin !== new URL(url).origin) site = 'same-site';
        [url, form] = [next.href, undefined];
      } else {
        if (status >= 400) throw new Error(`${status} from ${url}: ${words(parse(text))}`);
        this.pages.push(words(parse(text)));
        [url, form] = this.#answer(parse(text), url);
        site = 'same-origin';
      }
    }
    throw new Error(`no end after ${MOST_STEPS} steps, last at ${url}`);
  }

  #answer(page, url) {
    const link = this.provider && page.querySelector(`a[href*="/login/${this.provider}"]`);
    if (link) return [new URL(link.getAttribute('href'), url).href, undefined];
    const forms = page.querySelectorAll('form').filter((each) => each.getAttribute('method')?.toLowerCase() === 'post');
    const form = forms.find((each) => this.#pressed(each)) ?? forms[0];
    if (!form) throw new Error(`nothing to answer at ${url}: ${words(page)}`);
    const target = new URL(form.getAttribute('action') || url, url).href;
    return [target, new URLSearchParams([...this.#inputs(form), ...this.#button(form)])];
  }

  #inputs(form) {
    return form.querySelectorAll('input[name]').flatMap((input) => {
      const [name, value] = [input.getAttribute('name'), input.getAttribute('value') ?? ''];
      const kind = input.getAttribute('type');
      if (kind === 'checkbox' || kind === 'radio') {
        const ticked = input.hasAttribute('checked') && !this.untick.includes(value);
        return ticked ? [[name, value || 'on']] : [];
      }
      return [[name, kind === 'hidden' ? value : this.fields[name] ?? value]];
    });
  }

  #pressed = (form) => form.querySelectorAll('button').find((each) =>
    [this.press, this.fields.login].includes(each.getAttribute('value')));

  #button(form) {
    const button = this.#pressed(form) ?? form.querySelector('button');
    return button?.hasAttribute('name') ? [[button.getAttribute('name'), button.getAttribute('value') ?? '']] : [];
  }

  // As browsers do, and unlike many imitations, a cookie belongs to a host whatever the port.
  #keep(header, url) {
    const [pair, ...attributes] = header.split(';').map((part) => part.trim());
    const [, name, value] = /^([^=]*)=(.*)$/.exec(pair);
    const attribute = (wanted) => attributes
      .map((each) => each.split('='))
      .find(([key]) => key.toLowerCase() === wanted)?.[1];
    const path = attribute('path') ?? '/';
    const age = attribute('max-age') ?? (Date.parse(attribute('expires')) - Date.now()) / 1000;
    const key = `${url.hostname} ${path} ${name}`;
    if (Number(age) <= 0) this.cookies.delete(key);
    else this.cookies.set(key, { host: url.hostname, path, name, value });
  }

  #cookiesFor({ hostname, pathname }) {
    return [...this.cookies.values()]
      .filter(({ host, path }) => host === hostname && (pathname === path || pathname.startsWith(path.replace(/\/?$/, '/'))))
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
  }
}

function words(page) {
  const main = page.querySelector('main') ?? page.querySelector('body') ?? page;
  for (const noise of main.querySelectorAll('style, script, details')) noise.remove();
  return main.textContent.replace(/\s+/g, ' ').trim();
}

// Run by itself it serves clients in other languages: each line {"url","stop"} that comes in is walked and answered by
// a line {"url"} or {"error"}. $PERSON holds the constructor's options.
if (process.argv[1] === import.meta.filename) {
  const person = new Person(JSON.parse(process.env.PERSON ?? '{}'));
  for await (const line of createInterface({ input: process.stdin })) {
    const { url, stop, ...change } = JSON.parse(line);
    Object.assign(person, change);
    const answer = await person.walk(url, stop).then((end) => ({ url: end }), ({ message }) => ({ error: message }));
    console.log(JSON.stringify(answer));
  }
}
