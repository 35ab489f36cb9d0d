// A hospital's identity provider, the certified `oidc-provider`, and the browser of those who sign in there.
//
// It prints its address. Then each line of its input, `PERSON ADDRESS`, is somebody who opens the address in a browser of
// their own and signs in; where the browser is sent at the end is printed. It ends with its input.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

// What it has to say stands apart from its answers.
console.info = console.warn = console.error;

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'respite',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code'],
      response_types: ['code'],
      redirect_uris: ['http://127.0.0.1/back'],
    },
  ],
  findAccount: (_, person) => ({
    accountId: person,
    claims: () => ({ sub: person, employee_number: person }),
  }),
  claims: { openid: ['sub', 'employee_number'] },
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/sign-in/${interaction.uid}` },
  // Nobody is asked what the hospital has agreed to.
  loadExistingGrant: async (context) => {
    const { client, session } = context.oidc;
    const grant = new context.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid');
    await grant.save();
    return grant;
  },
});

const answer = provider.callback();
server.on('request', async (request, response) => {
  if (!request.url.startsWith('/sign-in/')) return answer(request, response);
  const login = { accountId: request.headers['x-person'] };
  // Where an app asks, the person must say yes each time (RFC 8252, section 8.6).
  await provider.interactionFinished(request, response, { login, consent: {} });
});

async function browse(person, address) {
  const cookies = new Map();
  for (let hops = 0; !address.startsWith('http://127.0.0.1/back'); hops++) {
    if (hops === 10) throw new Error('the provider sends the browser round in circles');
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const page = await fetch(address, { redirect: 'manual', headers: { cookie, 'x-person': person } });
    if (!page.headers.has('location')) throw new Error(`${page.status} ${await page.text()}`);
    for (const set of page.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set);
      if (value) cookies.set(name, value);
      else cookies.delete(name);
    }
    address = new URL(page.headers.get('location'), address).href;
  }
  return address;
}

console.log(issuer);
for await (const line of createInterface({ input: process.stdin })) {
  const [person, address] = line.split(' ');
  console.log(await browse(person, address));
}
process.exit();
