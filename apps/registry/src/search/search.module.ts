import { Module } from '@nestjs/common';
import { ExperimentSearch } from './experiment-search.js';
import { RunMatches } from './run-matches.js';
import { RunPages } from './run-pages.js';
import { RunReader } from './run-reader.js';
import { RunSearch } from './run-search.js';

@Module({
  providers: [RunReader, RunMatches, RunPages, RunSearch, ExperimentSearch],
  exports: [RunReader, RunSearch, ExperimentSearch],
})
export class SearchModule {}
