"""People's files in and out: checked before anything is made of them, read in chunks, written whole or not at all.

formats.py   which format a name means         source.py   bytes: files, .gz, standard input on disk
delimited.py  lines.py  jsonlines.py  parquet.py  spreadsheet.py   one format each: check, then chunks
folder.py    a folder of images, a row a file
column.py    which column holds the texts      chunk.py    some rows, in the shape the output needs
table.py     open_table: all of this together  output.py   open_output: a temporary name, then the real one
sinks.py     rows become bytes              dialect.py     how lines are written: separator, byte-order mark, line end
selection.py picked rows of a table         append.py      rows below what a file holds already
"""

from rung.tables.chunk import Chunk
from rung.tables.dialect import Dialect
from rung.tables.output import ANSWER, Output, open_output
from rung.tables.table import Table, open_table

__all__ = ["ANSWER", "Chunk", "Dialect", "Output", "Table", "open_output", "open_table"]
