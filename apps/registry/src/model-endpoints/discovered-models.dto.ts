import { ApiProperty } from '@nestjs/swagger';

export class DiscoveredModelDto {
  @ApiProperty({ description: 'Name, as requests give it.', example: 'llama-3.1-8b-instruct' })
  id!: string;

  @ApiProperty({
    description: 'The model it adapts, where it is an adapter (LoRA) and the server says so.',
    type: String,
    nullable: true,
    example: null,
  })
  parent!: string | null;

  @ApiProperty({
    description: 'Longest context in tokens, where the server says so.',
    type: Number,
    nullable: true,
    example: 131_072,
  })
  maxModelLen!: number | null;

  @ApiProperty({ description: 'How many of the replicas that answered serve it.', example: 2 })
  replicas!: number;

  @ApiProperty({ description: 'Whether it is among the `models` of the model endpoint.' })
  isRegistered!: boolean;
}

export class DiscoveredReplicaDto {
  @ApiProperty({ description: 'Id of the replica.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'Base URL, as stored.', example: 'http://10.0.0.5:8000/v1' })
  baseUrl!: string;

  @ApiProperty({ description: 'Names it lists; empty where it did not answer.', type: [String] })
  models!: string[];

  @ApiProperty({
    description: 'Why it listed nothing; null where it answered.',
    type: String,
    nullable: true,
    example: 'it answered 503',
  })
  error!: string | null;
}

export class DiscoveredModelsDto {
  @ApiProperty({ description: 'What the replicas serve, ordered by name.', type: [DiscoveredModelDto] })
  models!: DiscoveredModelDto[];

  @ApiProperty({
    description:
      'Registered models that a replica which answered does not list. Gateways pass such a replica over.',
    type: [String],
    example: [],
  })
  missing!: string[];

  @ApiProperty({ description: 'What each replica said, in their order.', type: [DiscoveredReplicaDto] })
  replicas!: DiscoveredReplicaDto[];
}
