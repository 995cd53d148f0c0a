declare module "*.lua" {
  const source: string;
  export default source;
}
declare module "*.hbs" {
  const source: string;
  export default source;
}
