import { Module, type OnModuleInit } from '@nestjs/common';
import { EntriesModule } from '../../entries/entries.module.js';
import { LoggedModelModule } from '../../logged-models/logged-model.module.js';
import { RunModule } from '../../runs/run.module.js';
import { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { MlflowProtocolModule } from '../protocol/protocol.module.js';
import { ModelSources } from './model-source.js';
import { addModelVersionRoutes } from './model-version-routes.js';
import { ModelVersions } from './model-versions.js';
import { addRegisteredModelRoutes } from './registered-model-routes.js';
import { RegisteredModels } from './registered-models.js';
import { RegistrySearch } from './registry-search.js';

/** MLflow's model registry, prompts included, on our entries and versions. */
@Module({
  imports: [MlflowProtocolModule, EntriesModule, RunModule, LoggedModelModule],
  providers: [RegisteredModels, ModelVersions, ModelSources, RegistrySearch],
})
export class MlflowRegistryModule implements OnModuleInit {
  constructor(
    private readonly routes: MlflowRoutes,
    private readonly models: RegisteredModels,
    private readonly versions: ModelVersions,
    private readonly search: RegistrySearch,
  ) {}

  onModuleInit(): void {
    addRegisteredModelRoutes(this.routes, this.models, this.versions, this.search);
    addModelVersionRoutes(this.routes, this.versions, this.search);
  }
}
