import { FollowerLoop } from '../../apps/registry/src/arrivals/follower-loop.js';
import { eventually } from './gateway.js';
import type { TestRegistry } from './registry.js';

/** Waits until A/B tests have counted all rows that are committed now; transactions of other databases of the server hold followers up. */
export async function rowsCounted(registry: TestRegistry): Promise<void> {
  const { client } = registry.database;
  await eventually(async () => {
    await registry.app.get(FollowerLoop).catchUp();
    const { rows } = await client.query(
      `SELECT f.position > (SELECT max(arrived) FROM inference) AS counted FROM follower f WHERE f.name = 'ab-test-rows'`,
    );
    return rows[0]?.counted === true;
  });
}
