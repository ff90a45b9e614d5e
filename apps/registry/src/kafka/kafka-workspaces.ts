import { Inject, Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { SETTINGS_TOKEN } from '../settings.module.js';

/** The workspaces that Kafka has to do with. */
export interface WorkspaceNames {
  readonly idOf: ReadonlyMap<string, string>;
  readonly nameOf: ReadonlyMap<string, string>;
  /** Of feedback that names none. */
  readonly first: string;
}

/** Reads CATENA_KAFKA_WORKSPACES anew each time: workspaces may be made while the registry runs. */
@Injectable()
export class KafkaWorkspaces {
  private readonly names: readonly string[];

  constructor(
    private readonly database: DataSource,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.names = settings.CATENA_KAFKA_WORKSPACES.split(',');
  }

  async read(on: DataSource | EntityManager = this.database): Promise<WorkspaceNames> {
    const [first] = this.names;
    const isAll = first === '*';
    const rows = await on.query<{ id: string; name: string }[]>(
      `SELECT id, name FROM workspace WHERE $1 OR name = ANY ($2)`,
      [isAll, this.names],
    );
    return {
      idOf: new Map(rows.map(({ id, name }) => [name, id])),
      nameOf: new Map(rows.map(({ id, name }) => [id, name])),
      first: isAll ? 'default' : first!,
    };
  }
}
