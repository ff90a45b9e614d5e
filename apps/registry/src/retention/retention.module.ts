import { Module } from '@nestjs/common';
import { ArrivalsModule } from '../arrivals/arrivals.module.js';
import { ArtifactModule } from '../artifacts/artifact.module.js';
import { Offload } from './offload.js';
import { PayloadStore } from './payload-store.js';
import { RetentionJob } from './retention-job.js';
import { Retention } from './retention.js';

@Module({
  imports: [ArrivalsModule, ArtifactModule],
  providers: [PayloadStore, Offload, Retention, RetentionJob],
  exports: [PayloadStore],
})
export class RetentionModule {}
