import { Module, type OnModuleInit } from '@nestjs/common';
import { DatasetModule } from '../../datasets/dataset.module.js';
import { ExperimentModule } from '../../experiments/experiment.module.js';
import { MetricModule } from '../../metrics/metric.module.js';
import { RunModule } from '../../runs/run.module.js';
import { SearchModule } from '../../search/search.module.js';
import { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { MlflowProtocolModule } from '../protocol/protocol.module.js';
import { ExperimentRoutes } from './experiment-routes.js';
import { ExperimentSearchRoutes } from './experiment-search-routes.js';
import { InputRoutes } from './input-routes.js';
import { LogRoutes } from './log-routes.js';
import { MetricRoutes } from './metric-routes.js';
import { ModelHistoryRoutes } from './model-history-routes.js';
import { RunMessages } from './run-messages.js';
import { RunSearchRoutes } from './run-search-routes.js';
import { RunRoutes } from './run-routes.js';
import { ServerRoutes } from './server-routes.js';

/** Experiments, runs and what they log, as MLflow's clients speak of them. */
@Module({
  imports: [MlflowProtocolModule, ExperimentModule, RunModule, MetricModule, DatasetModule, SearchModule],
  providers: [
    ServerRoutes,
    ExperimentRoutes,
    RunRoutes,
    LogRoutes,
    MetricRoutes,
    InputRoutes,
    ModelHistoryRoutes,
    RunSearchRoutes,
    ExperimentSearchRoutes,
    RunMessages,
  ],
})
export class MlflowTrackingModule implements OnModuleInit {
  constructor(
    private readonly routes: MlflowRoutes,
    private readonly server: ServerRoutes,
    private readonly experiments: ExperimentRoutes,
    private readonly runs: RunRoutes,
    private readonly logs: LogRoutes,
    private readonly metrics: MetricRoutes,
    private readonly inputs: InputRoutes,
    private readonly modelHistory: ModelHistoryRoutes,
    private readonly runSearch: RunSearchRoutes,
    private readonly experimentSearch: ExperimentSearchRoutes,
  ) {}

  onModuleInit(): void {
    const parts = [
      this.server,
      this.experiments,
      this.runs,
      this.logs,
      this.metrics,
      this.inputs,
      this.modelHistory,
      this.runSearch,
      this.experimentSearch,
    ];
    for (const part of parts) part.register(this.routes);
  }
}
