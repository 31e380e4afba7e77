export default function Machines() {
  return null;
}
