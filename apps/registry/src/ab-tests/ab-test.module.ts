import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EndpointModule } from '../endpoints/endpoint.module.js';
import { AbTestController } from './ab-test.controller.js';
import { AbTest } from './ab-test.entity.js';
import { AbTestReader } from './ab-test-reader.js';
import { AbTestResultsService } from './ab-test-results.service.js';
import { AbTestService } from './ab-test.service.js';
import { AbTestJudgementFollower } from './judgement-follower.js';
import { PowerService } from './power.service.js';
import { AbTestRowFollower } from './row-follower.js';

@Module({
  imports: [EndpointModule, TypeOrmModule.forFeature([AbTest])],
  controllers: [AbTestController],
  providers: [
    AbTestService,
    AbTestReader,
    AbTestResultsService,
    PowerService,
    AbTestRowFollower,
    AbTestJudgementFollower,
  ],
  exports: [AbTestService, AbTestReader],
})
export class AbTestModule {}
