import { Injectable } from '@nestjs/common';
import { parseFilter, parseOrderBy } from '#libs/core/search/filter-parser.js';
import { FilterError } from '#libs/core/search/filter-error.js';
import {
  RegistryReader,
  type Found,
  type RegisteredEntry,
  type RegisteredVersion,
  type Search,
} from '../../entries/registry.reader.js';
import type { Caller } from '../../http/caller.js';
import { MlflowError } from '../protocol/mlflow-error.js';

export interface GivenSearch {
  readonly filter: string;
  readonly order_by: readonly string[];
  readonly max_results: number;
  readonly page_token: string | undefined;
}

/** Searches of registered models and model versions, by MLflow's filters. */
@Injectable()
export class RegistrySearch {
  constructor(private readonly reader: RegistryReader) {}

  models(caller: Caller, given: GivenSearch): Promise<Found<RegisteredEntry>> {
    return this.reader.searchEntries(caller, read('registeredModel', given));
  }

  versions(caller: Caller, given: GivenSearch): Promise<Found<RegisteredVersion>> {
    return this.reader.searchVersions(caller, read('modelVersion', given));
  }
}

/** @throws MlflowError INVALID_PARAMETER_VALUE that says where the filter or order is wrong. */
function read(entity: 'registeredModel' | 'modelVersion', given: GivenSearch): Search {
  try {
    return {
      filter: parseFilter(entity, given.filter),
      order: parseOrderBy(entity, given.order_by),
      limit: given.max_results,
      token: given.page_token,
    };
  } catch (error) {
    if (error instanceof FilterError) throw new MlflowError('INVALID_PARAMETER_VALUE', error.message);
    throw error;
  }
}
