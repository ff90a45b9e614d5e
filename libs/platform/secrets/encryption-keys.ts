/** The keys of CATENA_ENCRYPTION_KEYS (`id:base64,…`) by their ids, in order: the first makes, all open. */
export function encryptionKeys(setting: string): ReadonlyMap<string, Buffer> {
  const pairs = setting.split(',').map((pair) => pair.split(':') as [string, string]);
  return new Map(pairs.map(([id, encoded]) => [id, Buffer.from(encoded, 'base64')]));
}
