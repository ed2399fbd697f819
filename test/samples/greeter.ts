/** Says its name to whoever connects: `bun greeter.ts NAME`, on every address of its network namespace, port 8080. */
const [name = ""] = process.argv.slice(2);
// "::" takes IPv4 as well
Bun.listen({ hostname: "::", port: 8080, socket: { open: (socket) => void socket.end(name), data: () => {} } });
console.log("ready");
