import { Module } from '@nestjs/common';
import { ExperimentModule } from '../experiments/experiment.module.js';
import { TraceController } from './trace.controller.js';
import { TraceAnswers } from './trace-answers.js';
import { TraceMetrics } from './trace-metrics.js';
import { TraceReader } from './trace-reader.js';
import { TraceService } from './trace.service.js';
import { TraceWriter } from './trace-writer.js';

@Module({
  imports: [ExperimentModule],
  controllers: [TraceController],
  providers: [TraceAnswers, TraceReader, TraceWriter, TraceService, TraceMetrics],
  exports: [TraceReader, TraceWriter, TraceService, TraceMetrics],
})
export class TraceModule {}
