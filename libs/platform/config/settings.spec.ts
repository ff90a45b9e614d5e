import { readFile } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSettings, SETTINGS, SettingsError } from './settings.js';

describe('the settings', () => {
  it('have defaults that need nothing, and are frozen', () => {
    const settings = readSettings({});
    expect(settings).toMatchObject({
      CATENA_HOST: '127.0.0.1',
      CATENA_REGISTRY_PORT: 5080,
      CATENA_GATEWAY_PORT: 5081,
    });
    expect(isAbsolute(settings.CATENA_DATA_DIR)).toBe(true);
    expect(Object.isFrozen(settings)).toBe(true);
  });

  it('list every bad variable at once, by name', () => {
    const bad = {
      CATENA_REGISTRY_PORT: 'eighty',
      CATENA_GATEWAY_PORT: '99999',
      CATENA_LOG_LEVEL: 'loud',
      CATENA_HOSTT: 'x',
    };
    expect(() => readSettings(bad, ['DATABASE_URL'])).toThrow(SettingsError);
    for (const name of [...Object.keys(bad), 'DATABASE_URL'])
      expect(() => readSettings(bad, ['DATABASE_URL'])).toThrow(name);
  });

  it('never repeat a value, which may be a secret', () => {
    expect(() => readSettings({ CATENA_ENCRYPTION_KEYS: 'hunter2' })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('hunter2') as string }) as Error,
    );
  });

  it('take no time-out that a timer would turn into one millisecond', () => {
    const names = Object.keys(SETTINGS).filter((name) => name.endsWith('_MS'));
    expect(names.length).toBeGreaterThan(4);
    for (const name of names) expect(() => readSettings({ [name]: '2147483648' })).toThrow(name);
    expect(readSettings({ CATENA_TOTAL_TIMEOUT_MS: '2147483647' }).CATENA_TOTAL_TIMEOUT_MS).toBe(
      2_147_483_647,
    );
  });

  it('treat an empty variable as unset', () => {
    expect(readSettings({ DATABASE_URL: '', CATENA_REGISTRY_PORT: '' })).toMatchObject({
      CATENA_REGISTRY_PORT: 5080,
    });
  });

  it('are documented, each with its default, in docs/settings.md', async () => {
    const page = (await readFile('docs/settings.md', 'utf8')).replaceAll(/ {2,}/g, ' ');
    for (const [name, setting] of Object.entries(SETTINGS)) {
      const cell = 'default' in setting ? `\`${setting.default}\`` : '';
      expect(page).toContain(`| \`${name}\` | ${cell} | ${setting.description} |`.replaceAll(/ {2,}/g, ' '));
    }
    expect(page.match(/^\| `/gm)).toHaveLength(Object.keys(SETTINGS).length);
  });
});
