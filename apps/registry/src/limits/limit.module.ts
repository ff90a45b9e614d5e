import { Module } from '@nestjs/common';
import { LimitController } from './limit.controller.js';
import { LimitService } from './limit.service.js';

@Module({ controllers: [LimitController], providers: [LimitService] })
export class LimitModule {}
