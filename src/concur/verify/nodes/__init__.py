"""The code of protocols as a `System`: hosts, clients, operators, clocks, what is judged."""
