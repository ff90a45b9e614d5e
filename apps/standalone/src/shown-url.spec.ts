import { expect, it } from 'vitest';
import { shownUrl } from './shown-url.js';

it.each([
  ['postgres://catena:secret@127.0.0.1:5432/catena', 'postgres://catena:***@127.0.0.1:5432/catena'],
  ['postgres://catena:sec@ret@db/catena', 'postgres://catena:***@db/catena'],
  ['postgres://catena@db/catena?password=secret&sslmode=require', 'postgres://catena@db/catena'],
  ['postgres://catena@127.0.0.1/catena', 'postgres://catena@127.0.0.1/catena'],
  ['postgres://a:secret@one,two:x/catena', 'as DATABASE_URL says'],
])('shows %s without a password', (url, shown) => {
  expect(shownUrl(url)).toBe(shown);
});
