/** Rows of an MLflow server's tables, as far as the import reads them. */
export interface ExperimentRow {
  readonly experiment_id: number;
  readonly name: string;
  readonly lifecycle_stage: string | null;
  readonly creation_time: number | null;
  readonly last_update_time: number | null;
}

export interface RunRow {
  readonly run_uuid: string;
  readonly name: string | null;
  readonly user_id: string | null;
  readonly status: string | null;
  readonly start_time: number | null;
  readonly end_time: number | null;
  readonly lifecycle_stage: string | null;
  readonly artifact_uri: string | null;
}

export interface DatasetRow {
  readonly input_uuid: string;
  readonly name: string;
  readonly digest: string;
  readonly dataset_source_type: string;
  readonly dataset_source: string;
  readonly dataset_schema: string | null;
  readonly dataset_profile: string | null;
}

export interface ModelUseRow {
  readonly destination_id: string;
  readonly destination_type: 'MODEL_INPUT' | 'MODEL_OUTPUT';
  readonly step: number | null;
}

export interface MetricRow {
  readonly timestamp: number;
  readonly step: number;
  readonly value: number;
  readonly nan: number;
}

export interface LoggedModelRow {
  readonly model_id: string;
  readonly name: string;
  readonly status: number;
  readonly status_message: string | null;
  readonly model_type: string | null;
  readonly source_run_id: string | null;
  readonly creation_timestamp_ms: number;
  readonly last_updated_timestamp_ms: number;
  readonly artifact_location: string | null;
}

export interface LoggedModelMetricRow {
  readonly metric_name: string;
  readonly metric_step: number;
  readonly metric_timestamp_ms: number;
  readonly metric_value: number;
  readonly run_id: string;
  readonly dataset_name: string | null;
  readonly dataset_digest: string | null;
}

export interface ModelRow {
  readonly name: string;
  readonly description: string | null;
  readonly creation_time: number;
  readonly last_updated_time: number | null;
}

export interface VersionRow {
  readonly version: number;
  readonly creation_time: number;
  readonly last_updated_time: number | null;
  readonly user_id: string | null;
  readonly description: string | null;
  readonly current_stage: string | null;
  readonly source: string | null;
  readonly run_id: string | null;
  readonly run_link: string | null;
}
