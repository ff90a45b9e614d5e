/** Messages of MLflow's REST protocol, as far as the import reads them. int64 come as numbers or text. */
type Int64 = number | string;
type Pair = { key: string; value?: string };

export interface ExperimentMessage {
  readonly experiment_id: string;
  readonly name: string;
  readonly lifecycle_stage?: string;
  readonly creation_time?: Int64;
  readonly last_update_time?: Int64;
  readonly tags?: Pair[];
}

export interface MetricMessage {
  readonly key: string;
  /** Doubles that JSON lacks come as text. */
  readonly value: number | string;
  readonly timestamp: Int64;
  readonly step?: Int64;
  readonly run_id?: string;
  readonly dataset_name?: string;
  readonly dataset_digest?: string;
}

export interface ModelUseMessage {
  readonly model_id: string;
  readonly step?: Int64;
}

export interface RunMessage {
  readonly info: {
    readonly run_id: string;
    readonly run_name?: string;
    readonly user_id?: string;
    readonly status?: string;
    readonly start_time?: Int64;
    readonly end_time?: Int64;
    readonly lifecycle_stage?: string;
    readonly artifact_uri?: string;
  };
  readonly data?: { readonly metrics?: MetricMessage[]; readonly params?: Pair[]; readonly tags?: Pair[] };
  readonly inputs?: {
    readonly dataset_inputs?: {
      readonly dataset: {
        readonly name: string;
        readonly digest: string;
        readonly source_type?: string;
        readonly source?: string;
        readonly schema?: string;
        readonly profile?: string;
      };
      readonly tags?: Pair[];
    }[];
    readonly model_inputs?: ModelUseMessage[];
  };
  readonly outputs?: { readonly model_outputs?: ModelUseMessage[] };
}

export interface LoggedModelMessage {
  readonly info: {
    readonly model_id: string;
    readonly experiment_id: string;
    readonly name: string;
    readonly status?: string;
    readonly status_message?: string;
    readonly model_type?: string;
    readonly source_run_id?: string;
    readonly creation_timestamp_ms: Int64;
    readonly last_updated_timestamp_ms: Int64;
    readonly artifact_uri?: string;
    readonly tags?: Pair[];
  };
  readonly data?: { readonly params?: Pair[]; readonly metrics?: MetricMessage[] };
}

export interface ModelMessage {
  readonly name: string;
  readonly description?: string;
  readonly creation_timestamp: Int64;
  readonly last_updated_timestamp: Int64;
  readonly tags?: Pair[];
  readonly aliases?: { readonly alias: string; readonly version: Int64 }[];
}

export interface VersionMessage {
  readonly version: Int64;
  readonly creation_timestamp: Int64;
  readonly last_updated_timestamp?: Int64;
  readonly user_id?: string;
  readonly description?: string;
  readonly current_stage?: string;
  readonly source?: string;
  readonly run_id?: string;
  readonly run_link?: string;
  readonly tags?: Pair[];
}
