import { Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { FollowerLoop } from './follower-loop.js';

@Module({ imports: [DiscoveryModule], providers: [FollowerLoop], exports: [FollowerLoop] })
export class ArrivalsModule {}
