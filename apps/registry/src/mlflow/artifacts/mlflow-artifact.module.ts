import { Module, type OnModuleInit } from '@nestjs/common';
import { ArtifactModule } from '../../artifacts/artifact.module.js';
import { RunModule } from '../../runs/run.module.js';
import { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { MlflowProtocolModule } from '../protocol/protocol.module.js';
import { ArtifactReader } from './artifact-reader.js';
import { MultipartRoutes } from './multipart-routes.js';
import { ProxyRoutes } from './proxy-routes.js';
import { RunArtifactRoutes } from './run-artifact-routes.js';
import { VersionArtifactRoutes } from './version-artifact-routes.js';

@Module({
  imports: [MlflowProtocolModule, ArtifactModule, RunModule],
  providers: [ArtifactReader, ProxyRoutes, MultipartRoutes, RunArtifactRoutes, VersionArtifactRoutes],
  exports: [ArtifactReader],
})
export class MlflowArtifactModule implements OnModuleInit {
  constructor(
    private readonly routes: MlflowRoutes,
    private readonly proxy: ProxyRoutes,
    private readonly multipart: MultipartRoutes,
    private readonly ofRuns: RunArtifactRoutes,
    private readonly ofVersions: VersionArtifactRoutes,
  ) {}

  onModuleInit(): void {
    for (const part of [this.proxy, this.multipart, this.ofRuns, this.ofVersions]) part.register(this.routes);
  }
}
