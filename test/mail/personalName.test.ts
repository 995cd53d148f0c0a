import { describe, expect, test } from "bun:test";
import { isName } from "../../src/mail/personalName.ts";

describe("a name that a mail greets with", () => {
  test.each([
    ...["Nguyễn Văn An", "Nguyễn Văn An.", "O'Brien-Smith Jr.", "Anne-Marie", "Martin Luther King, Jr.", "José M.ª"],
    ...["J.R.R. Tolkien", "J.R.R.Tolkien", "J.R.R.TOLKIEN", "Dr.Nguyen", "DR.NGUYEN", "dr.Nguyen", "Dr.med.Müller"],
    ...[
      "St.John",
      "Anh.Tuan",
      "Tuan.Le",
      "Mr.Ly",
      "Ông.Nam",
      "Jean-Luc.Picard",
      "Ph.D",
      "M.Sc Lan",
      "Dipl.-Ing. Weber",
    ],
    ...["ジョン・スミス", "Công ty TNHH A.B.C", "ABC CO.,LTD", "S.p.A.", "Co.Ltd", "No.1", "2.0"],
    ...["An s/o Binh", "Team 4/5", "An (Andy)", "Dot Nguyen", "Httpa"],
  ])("%s", (name) => {
    expect(isName(name)).toBe(true);
  });
});

describe("no name, but advertising", () => {
  test.each([
    "Click_here_to_get_started@.https.www.promo.example",
    "user, please verify yourself here: https://promo.example",
    "You won, see http://promo.example/x or www.promo.example",
    ...["promo.example", "PROMO.EXAMPLE", "Promo.Com", "t.co", "nguyen.van.an", "promo.example.", "(promo.example)"],
    ...["promo.example:8080", "promo.com.2", "Bit.Ly/x", "bit.ly/x", "//promo", "203.0.113.7"],
    ...["HTTPS://A.B", "hxxp://a", "http: //promo", "HTTP promo", "ftp:x", "mailto:a", "www promo", "www2.promo"],
    ...["an@example.com", "an ＠ example.com", "Ann@home"],
    ...["promo .example", "promo . example", "promo[.]example", "promo (dot) com", "promo dot com", "promo{.}com"],
    ...["example。com", "example．com", "example｡com", "example․com", "ｗｗｗ．promo．example"],
    ...["пример.рф", "张三.中国", "xn--e1afmkfd.xn--p1ai", "pro\u200dmo.exam\u00adple"],
  ])("%s", (name) => {
    expect(isName(name)).toBe(false);
  });
});
