import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EndpointModule } from '../../endpoints/endpoint.module.js';
import { AbTestModule } from '../ab-test.module.js';
import { SteeringController } from './steering.controller.js';
import { Steering } from './steering.entity.js';
import { Steerer } from './steerer.js';
import { SteeringLoop } from './steering-loop.js';
import { SteeringService } from './steering.service.js';

@Module({
  imports: [AbTestModule, EndpointModule, TypeOrmModule.forFeature([Steering])],
  controllers: [SteeringController],
  providers: [SteeringService, Steerer, SteeringLoop],
})
export class SteeringModule {}
