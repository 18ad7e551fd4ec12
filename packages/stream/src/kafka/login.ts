/**
 * kafkajs' login, which makes every failure a refusal: a connection that ended, or an answer that didn't come, is told as what it is, so that
 * it is tried again.
 */
import type { AuthenticationProviderArgs, Authenticator, Mechanism } from "kafkajs";
import { isTransient } from "./errors";
import type { KafkaLogOptions } from "./options";

type Login = NonNullable<KafkaLogOptions["sasl"]>;
type Provider = (login: Login) => Mechanism["authenticationProvider"];

const providers: Record<Login["mechanism"], Provider> = {
  plain: require("kafkajs/src/broker/saslAuthenticator/plain"),
  "scram-sha-256": require("kafkajs/src/broker/saslAuthenticator/scram256"),
  "scram-sha-512": require("kafkajs/src/broker/saslAuthenticator/scram512"),
};

export function loginBy(login: Login): Mechanism {
  const provider = providers[login.mechanism](login);
  return { mechanism: login.mechanism, authenticationProvider: (to) => tellingWhy(provider, to) };
}

function tellingWhy(provider: Mechanism["authenticationProvider"], to: AuthenticationProviderArgs): Authenticator {
  let failure: unknown;
  const saslAuthenticate: typeof to.saslAuthenticate = async (request) => {
    try {
      return await to.saslAuthenticate(request);
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  const { authenticate } = provider({ ...to, saslAuthenticate });
  return {
    async authenticate() {
      try {
        await authenticate();
      } catch (error) {
        throw isTransient(failure) ? failure : error;
      }
    },
  };
}
