// What a page of another origin does with the SDK; its findings go back to where it came from.
import { ListRecipesCommand, PersonalizeClient } from "@aws-sdk/client-personalize";
import { GetRecommendationsCommand, PersonalizeRuntimeClient } from "@aws-sdk/client-personalize-runtime";

async function outcome(client, command) {
  try {
    const { $metadata, ...answer } = await client.send(command);
    return { status: $metadata.httpStatusCode, requestId: $metadata.requestId, answer };
  } catch (error) {
    return { error: error.name, status: error.$metadata?.httpStatusCode, requestId: error.$metadata?.requestId };
  }
}

const { open, closed, credentials, known, unknown } = await (await fetch("/config")).json();
const options = { region: "us-east-1", credentials, maxAttempts: 1 };
const runtime = new PersonalizeRuntimeClient({ ...options, endpoint: open });
const found = {
  recommendations: await outcome(runtime, new GetRecommendationsCommand({ campaignArn: known })),
  unknown: await outcome(runtime, new GetRecommendationsCommand({ campaignArn: unknown })),
  recipes: await outcome(new PersonalizeClient({ ...options, endpoint: open }), new ListRecipesCommand({})),
  refused: await outcome(
    new PersonalizeRuntimeClient({ ...options, endpoint: closed }),
    new GetRecommendationsCommand({ campaignArn: known }),
  ),
};
await fetch("/found", { method: "POST", body: JSON.stringify(found) });
