import { describe, expect, test } from "bun:test";
import { normalInstant } from "../../../src/domain/door/instant.ts";

const NOON = "2026-12-01T21:30:00+07:00";

describe("a date is read", () => {
  test.each([
    ["as it is", NOON, NOON],
    ["in lower case", "2026-12-01t21:30:00z", "2026-12-01T21:30:00Z"],
    ["without seconds", "2026-12-01T21:30+07:00", "2026-12-01T21:30+07:00"],
    ["with +0700", "2026-12-01T21:30:00+0700", NOON],
    ["with +07", "2026-12-01T21:30:00+07", NOON],
    ["with a zone behind the offset", `${NOON}[Asia/Ho_Chi_Minh]`, NOON],
    ["with a calendar behind the offset", `${NOON}[u-ca=buddhist]`, NOON],
    ["with both, and both critical", `${NOON}[!Asia/Ho_Chi_Minh][!u-ca=iso8601]`, NOON],
    ["with an offset as zone", "2026-12-01T21:30:00+07:00[+07:00]", NOON],
    ["with a zone alone, on its clock", "2026-12-01T21:30:00[Asia/Ho_Chi_Minh]", "2026-12-01T21:30:00"],
    ["with a blank for the T", "2026-12-01 21:30:00+07:00", NOON],
    ["as SQL writes it", "2026-12-01 21:30:00+07", NOON],
    ["as Ruby writes it", "2026-12-01 21:30:00 +0700", NOON],
    ["as Ruby writes UTC", "2026-12-01 21:30:00 UTC", "2026-12-01T21:30:00Z"],
    ["alone", "2026-12-01", "2026-12-01"],
    ["alone, in the basic form", "20261201", "2026-12-01"],
    ["in the basic form", "20261201T213000+0700", NOON],
    ["without an offset", "2026-12-01T21:30:00", "2026-12-01T21:30:00"],
    ["without an offset and seconds", "2026-12-01 21:30", "2026-12-01T21:30"],
    ["with the hour alone", "2026-12-01T21+07", "2026-12-01T21:00+07:00"],
    ["with a fraction behind a comma", "2026-12-01T21:30:00,5Z", "2026-12-01T21:30:00.500Z"],
    ["with nanoseconds", "2026-12-01T21:30:00.123456789Z", "2026-12-01T21:30:00.123Z"],
    ["at the end of its day", "2026-12-31T24:00:00+07:00", "2027-01-01T00:00:00+07:00"],
    ["at the end of its day, without seconds", "2028-02-28T24:00", "2028-02-29T00:00"],
    ["with an unknown place", "2026-12-01T21:30:00-00:00", "2026-12-01T21:30:00Z"],
    ["with a real minus", "2026-12-01T21:30:00\u221203:00", "2026-12-01T21:30:00-03:00"],
    ["at a leap second", "2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"],
    ["at a leap second in India", "2017-01-01T05:29:60.4+05:30", "2017-01-01T05:29:59.400+05:30"],
    ["on a leap day", "2028-02-29", "2028-02-29"],
    ["between blanks", ` ${NOON}\r\n`, NOON],
  ])("%s", (_, given, normal) => {
    expect(normalInstant(given)).toBe(normal);
    expect(normalInstant(normal)).toBe(normal);
    expect(Number.isNaN(Date.parse(normal))).toBeFalse();
  });

  test.each([
    ...["", "tomorrow", "01.12.2026", "12/01/2026", "2026", "2026-12", "2026-1-1", "1796135400", "1796135400000"],
    ...[
      "2026-02-30",
      "2026-13-01",
      "2026-00-10",
      "0000-05-01",
      "0000-00-00 00:00:00",
      "2027-02-29",
      "2026-11-31T10:00:00Z",
    ],
    ...[
      "2026-12-01T25:30:00Z",
      "2026-12-01T24:00:01Z",
      "2026-12-01T24:00:00.5Z",
      "2026-12-01T21:60:00Z",
      "2026-12-01T21:30:60Z",
    ],
    ...["2026-12-01T21:30:00+24:00", "2026-12-01T21:30:00+07:60", "2026-12-01T21:30:00+7", "2026-12-01T21:30:00 ICT"],
    ...["2026-12-01T", "2026-12-01T21:30:00Z tomorrow", "2026-12-01T21:30:00Z[", "9999-12-31T24:00:00Z", "2026-1201"],
  ])("not: %s", (given) => {
    expect(normalInstant(given)).toBeUndefined();
  });
});
