import { Module } from '@nestjs/common';
import { ExperimentModule } from '../experiments/experiment.module.js';
import { DatasetAnswers } from './dataset-answers.js';
import { DatasetRecords } from './dataset-records.js';
import { EvaluationDatasetController } from './evaluation-dataset.controller.js';
import { EvaluationDatasetService } from './evaluation-dataset.service.js';

@Module({
  imports: [ExperimentModule],
  controllers: [EvaluationDatasetController],
  providers: [EvaluationDatasetService, DatasetRecords, DatasetAnswers],
  exports: [EvaluationDatasetService, DatasetRecords],
})
export class EvaluationDatasetModule {}
