// Sorts the table by the column whose heading is pressed; written without the characters that
// would have to be escaped in XML.
document.querySelectorAll("table.sortable thead button").forEach(function (button) {
  button.addEventListener("click", function () {
    var heading = button.closest("th");
    var body = heading.closest("table").tBodies[0];
    var column = heading.cellIndex;
    var down = heading.getAttribute("aria-sort") === "ascending";
    var key = function (row) { return row.cells[column].dataset.value; };
    var rows = Array.from(body.rows);
    rows.sort(function (one, other) {
      var a = key(one), b = key(other);
      if (a === "" || b === "") { return (a === "") - (b === ""); }
      var order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
      return down ? -order : order;
    });
    heading.parentNode.querySelectorAll("th").forEach(function (other) {
      other.removeAttribute("aria-sort");
    });
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    rows.forEach(function (row) { body.appendChild(row); });
  });
});
