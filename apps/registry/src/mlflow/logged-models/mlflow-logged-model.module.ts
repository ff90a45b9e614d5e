import { Module, type OnModuleInit } from '@nestjs/common';
import { LoggedModelModule } from '../../logged-models/logged-model.module.js';
import { MlflowArtifactModule } from '../artifacts/mlflow-artifact.module.js';
import { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { MlflowProtocolModule } from '../protocol/protocol.module.js';
import { LoggedModelArtifactRoutes } from './logged-model-artifact-routes.js';
import { LoggedModelRoutes } from './logged-model-routes.js';
import { LoggedModelSearchRoutes } from './logged-model-search-routes.js';

@Module({
  imports: [MlflowProtocolModule, LoggedModelModule, MlflowArtifactModule],
  providers: [LoggedModelRoutes, LoggedModelSearchRoutes, LoggedModelArtifactRoutes],
})
export class MlflowLoggedModelModule implements OnModuleInit {
  constructor(
    private readonly routes: MlflowRoutes,
    private readonly models: LoggedModelRoutes,
    private readonly search: LoggedModelSearchRoutes,
    private readonly artifacts: LoggedModelArtifactRoutes,
  ) {}

  onModuleInit(): void {
    for (const part of [this.models, this.search, this.artifacts]) part.register(this.routes);
  }
}
