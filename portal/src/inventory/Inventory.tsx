export default function Inventory() {
  return null;
}
