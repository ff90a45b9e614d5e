import { Module } from '@nestjs/common';
import { EntriesModule } from '../entries/entries.module.js';
import { ModelEndpointModule } from '../model-endpoints/model-endpoint.module.js';
import { AdapterController } from './adapter.controller.js';
import { AdapterService } from './adapter.service.js';

@Module({
  imports: [EntriesModule, ModelEndpointModule],
  controllers: [AdapterController],
  providers: [AdapterService],
})
export class AdapterModule {}
