import { Module } from '@nestjs/common';
import { ExperimentModule } from '../experiments/experiment.module.js';
import { LabelSchemaAnswers } from './label-schema-answers.js';
import { LabelSchemaController } from './label-schema.controller.js';
import { LabelSchemaService } from './label-schema.service.js';

@Module({
  imports: [ExperimentModule],
  controllers: [LabelSchemaController],
  providers: [LabelSchemaService, LabelSchemaAnswers],
  exports: [LabelSchemaService],
})
export class LabelSchemaModule {}
