import { Column, Entity, ForeignKey, PrimaryColumn, Unique } from 'typeorm';
import { ModelEndpoint } from './model-endpoint.entity.js';

@Entity('replica')
@Unique('replica_base_url_key', ['modelEndpointId', 'baseUrl'])
export class Replica {
  @PrimaryColumn({ type: 'uuid', primaryKeyConstraintName: 'replica_pk' })
  id!: string;

  @Column({ name: 'workspace_id', type: 'uuid' })
  workspaceId!: string;

  @Column({ name: 'model_endpoint_id', type: 'uuid' })
  @ForeignKey(() => ModelEndpoint, { name: 'replica_model_endpoint_fk' })
  modelEndpointId!: string;

  @Column({ type: 'integer' })
  position!: number;

  @Column({ name: 'base_url', type: 'text' })
  baseUrl!: string;
}
