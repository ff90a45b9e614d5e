import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EntriesModule } from '../entries/entries.module.js';
import { ModelEndpointModule } from '../model-endpoints/model-endpoint.module.js';
import { ArmCheck } from './arm-check.js';
import { Arm } from './arm.entity.js';
import { EndpointController } from './endpoint.controller.js';
import { Endpoint } from './endpoint.entity.js';
import { EndpointService } from './endpoint.service.js';
import { Shadow } from './shadow.entity.js';
import { SplitController } from './split.controller.js';
import { Split } from './split.entity.js';
import { SplitService } from './split.service.js';

@Module({
  imports: [EntriesModule, ModelEndpointModule, TypeOrmModule.forFeature([Endpoint, Split, Arm, Shadow])],
  controllers: [EndpointController, SplitController],
  providers: [EndpointService, SplitService, ArmCheck],
  exports: [SplitService],
})
export class EndpointModule {}
