import { Module } from '@nestjs/common';
import { AssessmentAnswers } from './assessment-answers.js';
import { AssessmentController } from './assessment.controller.js';
import { AssessmentService } from './assessment.service.js';

@Module({
  controllers: [AssessmentController],
  providers: [AssessmentService, AssessmentAnswers],
  exports: [AssessmentService],
})
export class AssessmentModule {}
