import { Module, type OnModuleInit } from '@nestjs/common';
import { ArtifactModule } from '../../artifacts/artifact.module.js';
import { AssessmentModule } from '../../assessments/assessment.module.js';
import { EvaluationDatasetModule } from '../../evaluation-datasets/evaluation-dataset.module.js';
import { IssueModule } from '../../issues/issue.module.js';
import { LabelSchemaModule } from '../../label-schemas/label-schema.module.js';
import { ReviewQueueModule } from '../../review-queues/review-queue.module.js';
import { ScorerModule } from '../../scorers/scorer.module.js';
import { TraceModule } from '../../traces/trace.module.js';
import { ArtifactReader } from '../artifacts/artifact-reader.js';
import { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { MlflowProtocolModule } from '../protocol/protocol.module.js';
import { AssessmentRoutes } from './assessment-routes.js';
import { DatasetRoutes } from './dataset-routes.js';
import { IssueRoutes } from './issue-routes.js';
import { LabelSchemaRoutes } from './label-schema-routes.js';
import { OldTraceRoutes } from './old-trace-routes.js';
import { OtlpRoutes } from './otlp-routes.js';
import { ReviewItemRoutes } from './review-item-routes.js';
import { ReviewQueueRoutes } from './review-queue-routes.js';
import { ScorerRoutes } from './scorer-routes.js';
import { TraceArtifactRoutes } from './trace-artifact-routes.js';
import { TraceMetricRoutes } from './trace-metric-routes.js';
import { TraceRoutes } from './trace-routes.js';
import { UnimplementedRoutes } from './unimplemented-routes.js';

/** Traces and what is said of them, what evaluates them and who reviews them, as MLflow's clients speak of it; and OTLP. */
@Module({
  imports: [
    MlflowProtocolModule,
    ArtifactModule,
    TraceModule,
    AssessmentModule,
    EvaluationDatasetModule,
    ScorerModule,
    IssueModule,
    LabelSchemaModule,
    ReviewQueueModule,
  ],
  providers: [
    TraceRoutes,
    OldTraceRoutes,
    TraceMetricRoutes,
    TraceArtifactRoutes,
    OtlpRoutes,
    AssessmentRoutes,
    DatasetRoutes,
    ScorerRoutes,
    IssueRoutes,
    LabelSchemaRoutes,
    ReviewQueueRoutes,
    ReviewItemRoutes,
    UnimplementedRoutes,
    ArtifactReader,
  ],
})
export class MlflowGenAiModule implements OnModuleInit {
  constructor(
    private readonly routes: MlflowRoutes,
    private readonly traces: TraceRoutes,
    private readonly oldTraces: OldTraceRoutes,
    private readonly metrics: TraceMetricRoutes,
    private readonly artifacts: TraceArtifactRoutes,
    private readonly otlp: OtlpRoutes,
    private readonly assessments: AssessmentRoutes,
    private readonly datasets: DatasetRoutes,
    private readonly scorers: ScorerRoutes,
    private readonly issues: IssueRoutes,
    private readonly labelSchemas: LabelSchemaRoutes,
    private readonly reviewQueues: ReviewQueueRoutes,
    private readonly reviewItems: ReviewItemRoutes,
    private readonly unimplemented: UnimplementedRoutes,
  ) {}

  onModuleInit(): void {
    const parts = [
      this.traces,
      this.oldTraces,
      this.metrics,
      this.artifacts,
      this.otlp,
      this.assessments,
      this.datasets,
      this.scorers,
      this.issues,
      this.labelSchemas,
      this.reviewQueues,
      this.reviewItems,
      this.unimplemented,
    ];
    for (const part of parts) part.register(this.routes);
  }
}
