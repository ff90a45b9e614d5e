import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiTags,
} from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../http/page.js';
import { DeliveryDetailDto, DeliveryDto, ListDeliveriesQuery } from './delivery.dto.js';
import { DeliveryService } from './delivery.service.js';
import {
  CreateWebhookDto,
  TestWebhookDto,
  UpdateWebhookDto,
  WebhookDto,
  WebhookTestDto,
} from './webhook.dto.js';
import { WebhookService } from './webhook.service.js';

const IdParam = (): MethodDecorator =>
  ApiParam({
    name: 'webhookId',
    description: 'Id of the webhook.',
    example: '019c0f3e-5b7a-7c7e-9f0e-3a5d2f6b8c11',
  });
const DeliveryParam = (): MethodDecorator =>
  ApiParam({
    name: 'deliveryId',
    description: 'Id of the delivery.',
    example: '019c0f3e-6c8b-7d8f-8a1f-4b6e3a7c9d22',
  });

@ApiTags('webhooks')
@Controller('api/v1/webhooks')
export class WebhookController {
  constructor(
    private readonly webhooks: WebhookService,
    private readonly deliveries: DeliveryService,
  ) {}

  @Post()
  @ApiOperation({
    summary: 'Create a webhook',
    description:
      'Events are written in the transaction of the change that causes them and posted at least once, in order while retries are short. Deliveries carry the headers of Standard Webhooks and of MLflow.',
  })
  @ApiCreatedResponse({ description: 'Created.', type: WebhookDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'PAYLOAD_TOO_LARGE')
  create(@CallerParam() caller: Caller, @Body() body: CreateWebhookDto): Promise<WebhookDto> {
    return this.webhooks.create(caller, body);
  }

  @Get()
  @ApiOperation({ summary: 'List webhooks', description: 'Newest first.' })
  @ApiPage(WebhookDto, 'Webhooks, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR')
  list(@CallerParam() caller: Caller, @Query() query: PageQuery): Promise<Page<WebhookDto>> {
    return this.webhooks.list(caller, query);
  }

  @Get(':webhookId')
  @IdParam()
  @ApiOperation({ summary: 'Get a webhook' })
  @ApiOkResponse({ description: 'The webhook, without its secret.', type: WebhookDto })
  @ApiErrors('NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('webhookId') id: string): Promise<WebhookDto> {
    return this.webhooks.get(caller, id);
  }

  @Patch(':webhookId')
  @IdParam()
  @ApiOperation({
    summary: 'Change a webhook',
    description: 'Absent fields stay as they are; `null` clears description and secret.',
  })
  @ApiOkResponse({ description: 'The webhook as it is now.', type: WebhookDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'REVISION_CONFLICT')
  update(
    @CallerParam() caller: Caller,
    @Param('webhookId') id: string,
    @Body() body: UpdateWebhookDto,
  ): Promise<WebhookDto> {
    return this.webhooks.update(caller, id, body);
  }

  @Delete(':webhookId')
  @HttpCode(204)
  @IdParam()
  @ApiOperation({
    summary: 'Delete a webhook',
    description: 'With its deliveries, pending ones too, and their log. To keep these, disable it.',
  })
  @ApiNoContentResponse({ description: 'Gone.' })
  @ApiErrors('NOT_FOUND')
  remove(@CallerParam() caller: Caller, @Param('webhookId') id: string): Promise<void> {
    return this.webhooks.remove(caller, id);
  }

  @Post(':webhookId/test')
  @HttpCode(200)
  @IdParam()
  @ApiOperation({
    summary: 'Send an example',
    description: 'At once and once, whatever the status of the webhook; nothing is kept of it.',
  })
  @ApiOkResponse({ description: 'What the receiver said.', type: WebhookTestDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND')
  test(
    @CallerParam() caller: Caller,
    @Param('webhookId') id: string,
    @Body() body: TestWebhookDto,
  ): Promise<WebhookTestDto> {
    return this.webhooks.test(caller, id, body?.event);
  }

  @Get(':webhookId/deliveries')
  @IdParam()
  @ApiOperation({ summary: 'List deliveries', description: 'Newest first.' })
  @ApiPage(DeliveryDto, 'Deliveries, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  listDeliveries(
    @CallerParam() caller: Caller,
    @Param('webhookId') id: string,
    @Query() query: ListDeliveriesQuery,
  ): Promise<Page<DeliveryDto>> {
    return this.deliveries.list(caller, id, query);
  }

  @Get(':webhookId/deliveries/:deliveryId')
  @IdParam()
  @DeliveryParam()
  @ApiOperation({ summary: 'Get a delivery', description: 'With its body and what became of each attempt.' })
  @ApiOkResponse({ description: 'The delivery.', type: DeliveryDetailDto })
  @ApiErrors('NOT_FOUND')
  getDelivery(
    @CallerParam() caller: Caller,
    @Param('webhookId') id: string,
    @Param('deliveryId') deliveryId: string,
  ): Promise<DeliveryDetailDto> {
    return this.deliveries.get(caller, id, deliveryId);
  }

  @Post(':webhookId/deliveries/:deliveryId/redeliver')
  @HttpCode(202)
  @IdParam()
  @DeliveryParam()
  @ApiOperation({
    summary: 'Deliver again',
    description: 'Under the same id and with the same body, by which a receiver knows that it had it.',
  })
  @ApiAcceptedResponse({ description: 'Will be delivered.', type: DeliveryDetailDto })
  @ApiErrors('NOT_FOUND')
  redeliver(
    @CallerParam() caller: Caller,
    @Param('webhookId') id: string,
    @Param('deliveryId') deliveryId: string,
  ): Promise<DeliveryDetailDto> {
    return this.deliveries.redeliver(caller, id, deliveryId);
  }
}
