/** What is told while a source is read, besides its bytes: "https://… was cut off; trying again in 2 s". */
export type Told = (line: string) => void;
