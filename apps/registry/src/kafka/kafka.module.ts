import { Module, type DynamicModule } from '@nestjs/common';
import type { Settings } from '#libs/platform/config/settings.js';
import { FeedbackModule } from '../feedback/feedback.module.js';
import { FeedbackConsumer } from './feedback-consumer.js';
import { FeedbackIntake } from './feedback-intake.js';
import { InferencePublisher } from './inference-publisher.js';
import { KafkaMetrics } from './kafka-metrics.js';
import { KafkaProducer } from './kafka-producer.js';
import { KafkaWorkspaces } from './kafka-workspaces.js';

/** Nothing of it is there where no topic is set. */
@Module({})
export class KafkaModule {
  static create(settings: Settings): DynamicModule {
    const feedback = settings.CATENA_KAFKA_FEEDBACK_TOPIC ? [FeedbackIntake, FeedbackConsumer] : [];
    const inferences = settings.CATENA_KAFKA_INFERENCE_TOPIC ? [InferencePublisher] : [];
    const used = [...feedback, ...inferences];
    return {
      module: KafkaModule,
      imports: [FeedbackModule],
      providers: used.length > 0 ? [KafkaMetrics, KafkaWorkspaces, KafkaProducer, ...used] : [],
    };
  }
}
