/* From an event to the mail it causes. Pure: the same event gives the same mail on each attempt. */
import type { Event } from "../domain/event.ts";
import { EVENT_TYPES, type EventTypes } from "../types/eventTypes.ts";
import type { Mail } from "./mailer.ts";
import { parseSender } from "./sender.ts";
import { compileTemplates, SHARED } from "./templates.ts";
import { viewOf } from "./view.ts";

/** The mail cannot be made from this event: no later attempt will change that. */
export class RenderError extends Error {
  override name = "RenderError";
}

/** @throws RenderError */
export type Render = (event: Event, messageId: string) => Mail;

/**
 * Compiles the templates once.
 * @param from MAIL_FROM: whom the mail is from, and the domain of its Message-ID
 * @throws when `from` or a template is not valid
 */
export function createRenderer({ from, types = EVENT_TYPES }: { from: string; types?: EventTypes }): Render {
  const sender = parseSender(from);
  const html = compileTemplates(types, SHARED, "html");
  const text = compileTemplates(types, SHARED, "text");

  return (event, messageId) => {
    try {
      const type = types.get(event.type);
      const htmlTemplate = html.get(event.type);
      const textTemplate = text.get(event.type);
      if (type === undefined || htmlTemplate === undefined || textTemplate === undefined) {
        throw new Error("there is no template for it");
      }
      const view = viewOf(event, type, sender, SHARED);
      const address = event.data.customer.email;
      return {
        messageIdHeader: `${messageId}@${sender.domain}`,
        to: view.toName === undefined ? { address } : { address, name: view.toName },
        subject: view.subject,
        // What an event does not have leaves no gap.
        text: textTemplate(view).replace(/\n{3,}/g, "\n\n"),
        html: htmlTemplate(view),
        language: view.language,
      };
    } catch (cause) {
      const detail = cause instanceof Error ? cause.message : String(cause);
      throw new RenderError(`${event.type}: ${detail}`, { cause });
    }
  };
}
