import { Module } from '@nestjs/common';
import { SumsFollower } from './sums-follower.js';
import { SumsRetention } from './sums-retention.js';
import { SeriesController } from './series.controller.js';
import { SeriesService } from './series.service.js';

@Module({ controllers: [SeriesController], providers: [SumsFollower, SumsRetention, SeriesService] })
export class SeriesModule {}
