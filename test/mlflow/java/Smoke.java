import java.util.List;
import org.mlflow.api.proto.Service.Run;
import org.mlflow.tracking.MlflowClient;

/** MLflow's Java client: `java -cp … Smoke.java <tracking-uri> <experiment>` prints one line per fact. */
public class Smoke {
  public static void main(String[] arguments) {
    MlflowClient client = new MlflowClient(arguments[0]);
    String experiment = client.createExperiment(arguments[1]);
    String id = client.createRun(experiment).getRunId();
    client.logParam(id, "lr", "0.1");
    client.logMetric(id, "loss", 0.5, 1000, 1);
    client.logMetric(id, "loss", Double.NaN, 2000, 2);
    client.setTag(id, "language", "java");
    client.setTerminated(id);
    Run run = client.getRun(id);
    System.out.println("status " + run.getInfo().getStatus());
    System.out.println("loss " + run.getData().getMetrics(0).getValue());
    System.out.println("history " + client.getMetricHistory(id, "loss").size());
    System.out.println("found " + client.searchRuns(List.of(experiment), "params.lr = '0.1' AND tags.language = 'java'").size());
    System.out.println("experiment " + client.getExperiment(experiment).getName());
    System.exit(0);
  }
}
