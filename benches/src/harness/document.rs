//! What the benchmarks write into the documents.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs").join(name)
}

/// Prints `text`, and writes it between the marks of `section` in a document.
pub fn write(name: &str, section: &str, text: &str) {
    println!("{text}");
    let path = document(name);
    let document = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {section} -->\n"), format!("<!-- end of {section} -->"));
    let (before, rest) = document.split_once(&begin).expect("the document has the section's marks");
    let (_, after) = rest.split_once(&end).expect("the document has the section's marks");
    std::fs::write(path, format!("{before}{begin}\n{text}\n{end}{after}")).unwrap();
}

/// The date, the machine and the command of a measurement.
pub fn circumstances(command: &str) -> String {
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("a processor");
    let cores = std::thread::available_parallelism().unwrap();
    format!(
        "`{command}`, on {}, {cores} cores of {model}, Linux {}, {}.\n",
        output("date", &["--iso-8601"]),
        output("uname", &["-r"]),
        output("rustc", &["--version"])
    )
}

/// Bars of several measures, each measure with its own logarithmic scale.
pub fn plot(name: &str, measures: &[(&str, Vec<(&str, f64)>)]) {
    const BAR: u32 = 22;
    let rows: usize = measures.iter().map(|(_, bars)| bars.len() + 2).sum();
    let height = u32::try_from(rows).unwrap() * BAR;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"720\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let mut y = 0;
    for (measure, bars) in measures {
        y += BAR;
        writeln!(svg, "<text x=\"8\" y=\"{y}\" font-weight=\"bold\">{measure}</text>").unwrap();
        let least = bars.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
        let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        for (bar, value) in bars {
            y += BAR;
            // The smallest bar is a tenth of the width, so that it is visible.
            let width = 40.0 + 340.0 * (value / least).ln() / (most / least).ln();
            let colour = if bar.starts_with("ours") { "#0b6" } else { "#89a" };
            writeln!(
                svg,
                "<text x=\"210\" y=\"{y}\" text-anchor=\"end\">{bar}</text>\
                 <rect x=\"220\" y=\"{}\" width=\"{width:.0}\" height=\"16\" fill=\"{colour}\"/>\
                 <text x=\"{:.0}\" y=\"{y}\">{}</text>",
                y - 13,
                width + 226.0,
                figures(*value)
            )
            .unwrap();
        }
        y += BAR;
    }
    svg.push_str("</svg>\n");
    std::fs::write(document(name), svg).unwrap();
}

/// Three figures of a number.
pub fn figures(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
